package simulate

// Encode writes a report as it is sent.
var Encode = encode
