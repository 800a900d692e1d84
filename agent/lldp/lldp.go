// Package lldp listens to what switches say of themselves (IEEE 802.1AB).
//
// # Concurrency
//
// Listen runs one goroutine per link and returns when all have ended.
package lldp

import (
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mdlayher/packet"

	"ferric"
)

const etherType = 0x88cc

// Listen waits for one LLDP frame on each link, until ctx ends or the time is over. The result has pairs of TLV type
// and value in hex, by link; links without a neighbour that speaks are not in it.
func Listen(ctx context.Context, log *slog.Logger, links []string, wait time.Duration) map[string][][2]any {
	out := map[string][][2]any{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range links {
		wg.Go(func() {
			tlvs, err := listen(ctx, name, wait)
			if err != nil {
				log.Info("no LLDP", "link", name, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = tlvs
		})
	}
	wg.Wait()
	return out
}

func listen(ctx context.Context, name string, wait time.Duration) ([][2]any, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeNotFound, "find the link: %w", err)
	}
	c, err := packet.Listen(ifi, packet.Raw, etherType, nil)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "listen: %w", err)
	}
	defer c.Close() // nothing is written
	// The frames go to a multicast address that NICs filter.
	if err := c.SetPromiscuous(true); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "listen: %w", err)
	}
	deadline := time.Now().Add(wait)
	buf := make([]byte, 9216)
	for {
		// Short reads, so that ctx is looked at.
		next := time.Now().Add(time.Second)
		if next.After(deadline) {
			next = deadline
		}
		if err := c.SetReadDeadline(next); err != nil {
			return nil, ferric.Errorf(ferric.CodeUnavailable, "listen: %w", err)
		}
		n, _, err := c.ReadFrom(buf)
		if err == nil {
			if tlvs := Parse(buf[:n]); tlvs != nil {
				return tlvs, nil
			}
		}
		if ctx.Err() != nil || !time.Now().Before(deadline) {
			return nil, ferric.Errorf(ferric.CodeTimeout, "no neighbour spoke")
		}
	}
}

// Parse reads an Ethernet frame's TLVs, nil if it is no LLDP frame. A damaged end is cut off.
func Parse(frame []byte) [][2]any {
	if len(frame) < 14 || frame[12] != etherType>>8 || frame[13] != etherType&0xff {
		return nil
	}
	out := [][2]any{}
	for b := frame[14:]; len(b) >= 2; {
		kind, length := int(b[0]>>1), int(b[0]&1)<<8|int(b[1])
		if kind == 0 || len(b) < 2+length {
			break
		}
		out = append(out, [2]any{kind, hex.EncodeToString(b[2 : 2+length])})
		b = b[2+length:]
	}
	return out
}
