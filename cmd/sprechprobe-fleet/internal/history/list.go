package history

import (
	"context"
	"fmt"
)

// List returns one page of the boxes that are wanted, as [DB.Find] does, but counts
// nothing: in a large fleet that takes longer than the page itself. A page that is
// beyond the last one is empty.
func (db *DB) List(ctx context.Context, q Query) ([]Box, error) {
	sort, ok := sorts[q.Sort]
	if !ok {
		return nil, fmt.Errorf("history: no order %q", q.Sort)
	}
	size := q.Size
	if size <= 0 {
		size = 50
	}
	size = min(size, 1000)
	where, args := q.where()
	var out []Box
	err := db.e.read(ctx, fmt.Sprintf(`SELECT %s FROM boxes%s ORDER BY %s LIMIT %d OFFSET %d`, boxColumns, where, sort, size, size*max(q.Page-1, 0)), args,
		func(s scan) error {
			b, err := box(s)
			out = append(out, b)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("history: list boxes: %w", err)
	}
	return out, nil
}

// Tenants lists whose boxes there are among those that are wanted, at most 500, the
// largest first.
func (db *DB) Tenants(ctx context.Context, q Query) ([]Facet, error) {
	where, args := q.where()
	var out []Facet
	err := db.e.read(ctx, `SELECT tenant, count(*) FROM boxes`+where+` GROUP BY tenant ORDER BY 2 DESC, 1 LIMIT 500`, args, func(s scan) error {
		f := Facet{Kind: "tenant"}
		err := s(&f.Value, &f.Boxes)
		out = append(out, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("history: tenants: %w", err)
	}
	return out, nil
}
