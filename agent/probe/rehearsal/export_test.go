package rehearsal

// OwnCPU is the processor time of this process.
var OwnCPU = ownCPU
