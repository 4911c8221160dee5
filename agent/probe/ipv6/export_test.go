package ipv6

// Discover is what addresses of ipv4only.arpa tell.
var Discover = discover
