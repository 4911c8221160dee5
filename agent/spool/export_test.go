package spool

// Files and File are what a test puts in place of the system.
type (
	Files = files
	File  = file
)

// OpenOn is Open on other files than the system's.
func OpenOn(fs Files, o Options) (*Spool, Found) { return open(fs, o) }

// ForgetOn is Forget on other files than the system's.
func ForgetOn(fs Files, o Options) error { return forget(fs, o) }

// Flush writes everything to the disk now.
func (s *Spool) Flush() { s.flush() }

// InMemory is what the records take that are not on the disk, bytes.
func (s *Spool) InMemory() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}
