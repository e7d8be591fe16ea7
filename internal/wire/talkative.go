package wire

import "encoding/binary"

const (
	// talkativeText is from which length on the server may have more to say about a
	// Parse than fits into the buffers of any network: for each word of a text it may
	// write a notice, some 40 times as long, before it reads on.
	talkativeText = 1 << 10
	// shortRest is how much may follow then, because it fits into those buffers.
	shortRest = 8 << 10
)

// parseAlone returns the length of a Parse that must not be sent with what follows in
// the packet: the server would wait for its notices to be read, and the client for
// the rest of the packet to be read, forever. 0 says that they may go together.
func parseAlone(packet []byte) int {
	if len(packet) <= shortRest+talkativeText || packet[0] != frontParse {
		return 0
	}
	end := 1 + int(binary.BigEndian.Uint32(packet[1:]))
	if end <= talkativeText || len(packet)-end <= shortRest {
		return 0
	}
	return end
}

// afterParse waits for the server's answer to a Parse that was sent with a Flush, and
// leaves it, with the notices, in the buffer. Then it sends the rest of the packet.
func (c *Conn) afterParse(rest []byte) error {
	expected := 1 + c.prefix.running
	for at := 0; expected > 0; {
		rd := &c.reader
		for rd.w-rd.r-at >= headerSize && expected > 0 {
			frame := rd.buf[rd.r+at:]
			switch frame[0] {
			case ParseComplete:
				expected--
			case ErrorResponse:
				expected = 0 // the rest is skipped, but for the Sync
			}
			size := uint64(binary.BigEndian.Uint32(frame[1:]))
			if size < 4 || size > longLimit {
				expected = 0 // whoever reads it says what is wrong
			}
			at += 1 + int(min(size, longLimit))
		}
		if expected == 0 {
			break
		}
		rd.need = max(at, rd.w-rd.r) + 1
		if err := c.fill(); err != nil {
			return err
		}
	}
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	c.expect(rest, nil)
	_, err := c.send(rest)
	return err
}
