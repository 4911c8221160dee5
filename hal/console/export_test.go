package console

import "fmt"

var CheckConsole = checkConsole

// Device finds the device of a port.
var Device = device

// Replies collects the replies in chunks of bytes, as "OK 7" and "HELLO", and
// how many bytes it had to hold at most.
func Replies(chunks ...[]byte) (got []string, garbage, held int) {
	var r replies
	for _, c := range chunks {
		r.read(c, func(r reply) {
			if r.hello {
				got = append(got, "HELLO")
			} else {
				got = append(got, fmt.Sprint("OK ", r.seq))
			}
		})
		held = max(held, cap(r.line))
	}
	return got, r.garbage, held
}
