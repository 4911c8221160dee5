package desk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Tell hands a changed account to a running server; its cluster learns of it from
// there. system is a connection in the system account. Who lost its rights is cut
// off at once; nobody else notices.
func Tell(ctx context.Context, system *nats.Conn, accountJWT string) error {
	m, err := system.RequestWithContext(ctx, "$SYS.REQ.CLAIMS.UPDATE", []byte(accountJWT))
	if err != nil {
		return fmt.Errorf("tell the server: %w", err)
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("tell the server: %w", err)
	}
	if answer.Error != nil {
		return fmt.Errorf("tell the server: %.200q", answer.Error.Description)
	}
	return nil
}
