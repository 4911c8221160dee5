package idle

import (
	"net"

	"github.com/sprechprobe/sprechprobe/agent"
)

// AnswerLimit is what one answer may take, bytes.
const AnswerLimit = answerLimit

// Voices are all ways to ask, for fuzzing what may come back.
func Voices() map[string]func(net.Conn) error {
	return map[string]func(net.Conn) error{
		"binding": binding, "head": headOf(agent.Target{Host: "video.example", Port: 443}), "greeted": greeted, "ping": ping,
	}
}
