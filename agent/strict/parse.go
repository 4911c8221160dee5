package strict

import (
	"errors"
	"fmt"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what an entry holds. Tables differ in who may still add to them.
type kind uint8

const (
	implied kind = iota // table that a longer header implies; its own may follow
	headed              // table with a header
	dotted              // table made by dotted keys; only those add to it
	inline              // table in braces, complete as it stands
	tables              // list of tables with headers
	list                // list in brackets, complete as it stands
	text
	integer
	float
	boolean
	date
)

var kindWords = []string{
	"a table", "a table", "a table", "a table", "a list of tables", "a list",
	"text in quotes", "a whole number", "a number", "true or false", "a date",
}

func (k kind) String() string { return kindWords[k] }

// entry is one key, table or list item of a file.
type entry struct {
	kind  kind
	line  int
	data  string            // of a value that is neither table nor list, without quotes
	keys  []string          // of a table, in the file's order
	kids  map[string]*entry // of a table
	items []*entry          // of a list
}

func (e *entry) kid(key string) *entry {
	if e == nil {
		return nil
	}
	return e.kids[key]
}

func (e *entry) at(i int) *entry {
	if e == nil || i < 0 || i >= len(e.items) {
		return nil
	}
	return e.items[i]
}

func (e *entry) isTable() bool { return e.kind <= inline }

func (e *entry) add(key string, kid *entry) *entry {
	if e.kids == nil {
		e.kids = map[string]*entry{}
	}
	e.keys = append(e.keys, key)
	e.kids[key] = kid
	return kid
}

// cursor is a table and what it is called.
type cursor struct {
	table *entry
	name  string
	item  bool // the last step of name is a number
}

// named is the name of a key of the table.
func (c cursor) named(key string) string { return joinName(c.name, c.item, key) }

// reader builds the tree of a file, by the rules of TOML 1.0 about which table
// may be added to where. The parser itself knows no such rules.
type reader struct {
	file    string
	parser  unstable.Parser
	starts  []int // offset at which each line starts
	root    *entry
	current cursor // what the last header opened
	entries int
}

// parse returns the root table of a file.
func parse(file string, data []byte) (*entry, error) {
	r := &reader{file: file, root: &entry{kind: headed, line: 1}, starts: lineStarts(data)}
	r.current.table = r.root
	r.parser.Reset(data)
	for r.parser.NextExpression() {
		if err := r.expression(r.parser.Expression()); err != nil {
			return nil, err
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, r.syntax(err)
	}
	return r.root, nil
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (r *reader) lineAt(offset int) int { return sort.SearchInts(r.starts, offset+1) }

// line is where a node stands. Lists have no place of their own, so they stand
// where their key does.
func (r *reader) line(n *unstable.Node, otherwise int) int {
	if n.Raw.Length == 0 {
		return otherwise
	}
	return r.lineAt(int(n.Raw.Offset))
}

// syntax turns the parser's error into one of ours.
func (r *reader) syntax(err error) error {
	var perr *unstable.ParserError
	line := len(r.starts)
	if errors.As(err, &perr) {
		// A highlight is a part of the data and shares its end.
		line = r.lineAt(cap(r.parser.Data()) - cap(perr.Highlight))
	}
	return r.errorf(line, r.current.name, "%v", err)
}

func (r *reader) errorf(line int, name, format string, args ...any) error {
	return &Error{File: r.file, Line: line, Entry: name, Text: clean(fmt.Sprintf(format, args...))}
}

// made counts a new entry against the limits.
func (r *reader) made(e *entry, name string, depth int) (*entry, error) {
	if r.entries++; r.entries > maxEntries {
		return nil, r.errorf(e.line, "", "more than %d entries", maxEntries)
	}
	if depth > maxDepth {
		return nil, r.errorf(e.line, name, "more than %d entries within entries", maxDepth)
	}
	return e, nil
}

func (r *reader) expression(n *unstable.Node) error {
	if n.Kind == unstable.KeyValue {
		return r.keyValue(r.current, n, 0)
	}
	return r.open(n)
}

// open follows a header from the root and makes its table the current one.
func (r *reader) open(n *unstable.Node) error {
	at := cursor{table: r.root}
	depth := 0
	for it := n.Key(); it.Next(); depth++ {
		key, line := string(it.Node().Data), r.line(it.Node(), 1)
		next, err := r.step(at, key, line, it.IsLast(), n.Kind, depth)
		if err != nil {
			return err
		}
		at = cursor{table: next, name: at.named(key)}
		if last := len(next.items) - 1; next.kind == tables {
			at = cursor{table: next.items[last], name: itemName(at.name, last), item: true}
		}
	}
	r.current = at
	return nil
}

// step is where one key of a header of the given kind leads: a table, or a list
// of tables whose last one is meant.
func (r *reader) step(at cursor, key string, line int, last bool, header unstable.Kind, depth int) (*entry, error) {
	name, have := at.named(key), at.table.kids[key]
	switch {
	case last && header == unstable.ArrayTable:
		return r.another(at, key, line, depth)
	case have == nil:
		e := &entry{kind: implied, line: line}
		if last {
			e.kind = headed
		}
		if _, err := r.made(e, name, depth); err != nil {
			return nil, err
		}
		return at.table.add(key, e), nil
	case last && have.kind == implied:
		have.kind, have.line = headed, line
		return have, nil
	case last:
		return nil, r.errorf(line, name, "already set in line %d", have.line)
	case have.kind == tables, have.isTable() && have.kind != inline:
		return have, nil
	default:
		return nil, r.errorf(line, name, "already set in line %d, and complete there", have.line)
	}
}

// another adds a table to the list that a [[header]] names, and returns the list.
func (r *reader) another(at cursor, key string, line, depth int) (*entry, error) {
	have := at.table.kids[key]
	if have != nil && have.kind != tables {
		return nil, r.errorf(line, at.named(key), "already set in line %d", have.line)
	}
	item, err := r.made(&entry{kind: headed, line: line}, at.named(key), depth)
	if err != nil {
		return nil, err
	}
	if have == nil {
		have = at.table.add(key, &entry{kind: tables, line: line})
	}
	have.items = append(have.items, item)
	return have, nil
}

// keyValue sets a key, which may be dotted, of the table at a cursor.
func (r *reader) keyValue(at cursor, n *unstable.Node, depth int) error {
	for it := n.Key(); it.Next(); depth++ {
		key, line := string(it.Node().Data), r.line(it.Node(), at.table.line)
		name, kid := at.named(key), at.table.kids[key]
		switch {
		case kid == nil:
			var err error
			if kid, err = r.made(&entry{kind: dotted, line: line}, name, depth); err != nil {
				return err
			}
			at.table.add(key, kid)
		case it.IsLast() || kid.kind != dotted:
			return r.errorf(line, name, "already set in line %d", kid.line)
		}
		if it.IsLast() {
			return r.value(kid, name, n.Value(), depth)
		}
		at = cursor{table: kid, name: name}
	}
	return nil
}

// value fills e, which already has its line, with what stands at n.
func (r *reader) value(e *entry, name string, n *unstable.Node, depth int) error {
	e.data = string(n.Data)
	switch n.Kind {
	case unstable.Array:
		e.kind = list
		return r.listItems(e, name, n, depth)
	case unstable.InlineTable:
		e.kind = inline
		for it := n.Children(); it.Next(); {
			if err := r.keyValue(cursor{table: e, name: name}, it.Node(), depth+1); err != nil {
				return err
			}
		}
	case unstable.String:
		e.kind = text
	case unstable.Integer:
		e.kind = integer
	case unstable.Float:
		e.kind = float
	case unstable.Bool:
		e.kind = boolean
	default:
		e.kind = date
	}
	return nil
}

func (r *reader) listItems(e *entry, name string, n *unstable.Node, depth int) error {
	for it := n.Children(); it.Next(); {
		name := itemName(name, len(e.items))
		item, err := r.made(&entry{line: r.line(it.Node(), e.line)}, name, depth+1)
		if err == nil {
			err = r.value(item, name, it.Node(), depth+1)
		}
		if err != nil {
			return err
		}
		e.items = append(e.items, item)
	}
	return nil
}
