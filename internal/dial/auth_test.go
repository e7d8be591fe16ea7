package dial

import (
	"bytes"
	"testing"

	"github.com/psyco-go/psyco/internal/wire"
)

// FuzzAuthHandler: whatever a server says, nothing panics, and it lets nobody in who was
// not let in by the rules.
func FuzzAuthHandler(f *testing.F) {
	f.Add(uint8(0), []byte("\x00"))
	f.Add(uint8(1), []byte("\x0aSCRAM-SHA-256\x00\x00"))
	f.Add(uint8(3), []byte("\x05salt\xff\x0c\xff\x00"))
	f.Fuzz(func(t *testing.T, kind uint8, script []byte) {
		settings := &Auth{
			Require:        []string{"", "scram-sha-256", "!none", "none"}[kind%4],
			ChannelBinding: []string{"prefer", "require", "disable"}[kind/4%3],
		}
		a := newAuthenticator(t.Context(), settings, nil, "sesame")
		var asked bool
		for _, step := range bytes.Split(script, []byte{0xff}) {
			if len(step) == 0 {
				continue
			}
			code := wire.AuthCode(step[0] % 14)
			if _, _, err := a.handle(code, step[1:]); err != nil {
				break
			}
			asked = asked || code != wire.AuthOK
		}
		switch {
		case !a.granted:
		case settings.ChannelBinding == "require", settings.Require == "scram-sha-256":
			t.Errorf("let in in spite of %+v", settings)
		case settings.Require == "!none" && !asked, a.scram != nil:
			t.Error("let in without proof")
		}
	})
}
