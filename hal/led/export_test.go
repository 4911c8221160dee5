package led

// Wakes is how often the engine's goroutine had something to do.
func (e *Engine) Wakes() uint64 { return e.wakes.Load() }
