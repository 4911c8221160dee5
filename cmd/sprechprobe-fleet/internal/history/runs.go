package history

// run is one run of a box's program.
type run struct{ box, boot string }

// past is a run that is not that of the newest report, and when its last report was
// made.
type past struct {
	seen
	eventAt int64
	stated  bool // it must be written
}

// unknown returns the rows that are new: a box knows which reports of a run there
// are, so that the table of reports need not be asked.
func (b *batch) unknown(rows []row) ([]row, error) {
	b.runs = map[run]*past{}
	out := make([]row, 0, len(rows))
	for _, r := range rows {
		fresh, err := b.enter(r)
		if err != nil {
			return nil, err
		}
		if fresh {
			out = append(out, r)
		}
	}
	return out, nil
}

// enter enters a report among those of its run and says whether it is new.
func (b *batch) enter(r row) (fresh bool, err error) {
	k := b.boxes[r.box]
	s := &k.seen
	var p *past
	if r.boot != k.boot {
		if p, err = b.left(k, r.boot); err != nil {
			return false, err
		}
		s = &p.seen
	}
	fresh, sure := s.add(r.seq)
	if !sure {
		fresh = true
		err := b.t.query(`SELECT box FROM reports WHERE box = ? AND boot = ? AND seq = ? LIMIT 1`, []any{k.no, r.boot, r.seq},
			func(scan) error { fresh = false; return nil })
		if err != nil {
			return false, err
		}
	}
	if p != nil && fresh {
		p.eventAt, p.stated = max(p.eventAt, r.eventAt), true
	}
	return fresh, nil
}

// left reads what is known of a run that is not that of a box's newest report.
func (b *batch) left(k *known, boot string) (*past, error) {
	if p := b.runs[run{k.box, boot}]; p != nil {
		return p, nil
	}
	p := &past{seen: none()}
	if k.eventAt > 0 {
		var top int64
		var gaps string
		err := b.t.query(`SELECT top, gaps, event_at FROM runs WHERE box = ? AND boot = ?`, []any{k.no, boot}, func(s scan) error {
			err := s(&top, &gaps, &p.eventAt)
			p.seen = parseSeen(top, gaps)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	b.runs[run{k.box, boot}] = p
	return p, nil
}

// move makes another run that of the box's newest report.
func (b *batch) move(k *known, boot string) {
	p := b.runs[run{k.box, boot}] // enter has read it
	delete(b.runs, run{k.box, boot})
	if k.eventAt > 0 {
		b.runs[run{k.box, k.boot}] = &past{seen: k.seen, eventAt: k.eventAt, stated: true}
	}
	k.seen = p.seen
}

// leave lists the runs that must be written.
func (b *batch) leave() (rows [][]any) {
	for r, p := range b.runs {
		if p.stated {
			rows = append(rows, []any{b.boxes[r.box].no, r.boot, p.top, p.text(), p.eventAt})
		}
	}
	return rows
}
