package advice

// Who says who a box is.
type Who struct {
	Key, Code   string
	Tenant, Box string // empty: not claimed
	Refused     bool   // the vendor's server does not know it any more
	Trouble     string // why what should say who it is does not; empty: it does
}

// WhoIs is what a person reads about who a box is: its claim code, its key and
// whether it is claimed.
func WhoIs(w Who, l Lang) string {
	b := bookOf(l)
	state := b.phrase("identity-unclaimed")
	switch {
	case w.Trouble != "":
		state = b.phrase("identity-trouble", "why", clean(w.Trouble))
	case w.Box != "" && w.Refused:
		state = b.phrase("identity-refused", "box", clean(w.Box), "tenant", clean(w.Tenant))
	case w.Box != "":
		state = b.phrase("identity-claimed", "box", clean(w.Box), "tenant", clean(w.Tenant))
	}
	return table([][2]string{
		{b.word("box", "id-code"), clean(w.Code)},
		{b.word("box", "id-key"), clean(w.Key)},
		{b.phrase("identity-state"), state},
	})
}
