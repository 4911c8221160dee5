package button

// Parse reads a message of the kernel.
var Parse = parse

// Has looks for a bit in a bitmap.
var Has = has
