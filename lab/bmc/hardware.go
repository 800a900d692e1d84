package bmc

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/bougou/go-ipmi/pkg/hal"
)

// hardware is what the library asks for beside our own commands: sensor records, the LAN address, the console.
type hardware struct{ server *Server }

var _ hal.HAL = (*hardware)(nil)

// Chassis is nil: the chassis commands are our own.
func (*hardware) Chassis() hal.ChassisHAL { return nil }

// Sensors is nil: the sensor commands are our own.
func (*hardware) Sensors() hal.SensorHAL { return nil }

// Storage returns the sensor data repository.
func (h *hardware) Storage() hal.StorageHAL { return storage{h.server.sdr} }

// Network returns the BMC's address.
func (h *hardware) Network() hal.NetworkHAL { return network{h.server} }

// GPIO is nil.
func (*hardware) GPIO() hal.GPIOHAL { return nil }

// I2C is nil.
func (*hardware) I2C() hal.I2CHAL { return nil }

// Console returns the serial console, nil if there is none.
func (h *hardware) Console() hal.ConsoleHAL {
	if h.server.opts.Console == nil {
		return nil
	}
	return console{h.server}
}

// Close has nothing to release.
func (*hardware) Close() error { return nil }

type storage struct{ sdr *sdrStore }

func (storage) FRU() hal.FRUStore   { return nil }
func (s storage) SDR() hal.SDRStore { return s.sdr }

type network struct{ server *Server }

func (n network) GetConfig(context.Context) (*hal.IPConfig, error) {
	addr := n.server.Addr()
	c := &hal.IPConfig{MAC: [6]byte{0x52, 0x54, 0x00, 0xbc}, Mask: [4]byte{255, 255, 255, 0}, Port: uint16(addr.Port)}
	if ip := addr.IP.To4(); ip != nil {
		c.IP = [4]byte(ip)
		copy(c.MAC[4:], ip[2:])
	}
	return c, nil
}

func (network) SetConfig(context.Context, *hal.IPConfig) error { return hal.ErrNotSupported }

type console struct{ server *Server }

// Open connects to the machine's console for one serial-over-LAN session.
func (c console) Open(ctx context.Context) (hal.ConsoleConn, error) {
	stream, err := c.server.opts.Console(ctx)
	if err != nil {
		return nil, err
	}
	conn := &consoleConn{stream: stream, wake: make(chan struct{}, 1)}
	c.server.wg.Go(conn.pump)
	return conn, nil
}

// maxConsoleBuffer bounds the output kept for a slow console; older output is dropped, as on a serial line.
const maxConsoleBuffer = 64 << 10

// consoleConn gives a stream the non-blocking read that the library wants.
type consoleConn struct {
	stream io.ReadWriteCloser
	wake   chan struct{}

	mu     sync.Mutex
	output []byte
	err    error
}

func (c *consoleConn) pump() {
	buffer := make([]byte, 4096)
	for {
		n, err := c.stream.Read(buffer)
		c.mu.Lock()
		c.output = append(c.output, buffer[:n]...)
		if over := len(c.output) - maxConsoleBuffer; over > 0 {
			c.output = append([]byte(nil), c.output[over:]...)
		}
		c.err = err
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// ReadAvailable returns output that has come, without waiting.
func (c *consoleConn) ReadAvailable(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.output)
	c.output = c.output[n:]
	if n == 0 && c.err != nil {
		return 0, c.err
	}
	return n, nil
}

// Write sends input to the machine.
func (c *consoleConn) Write(p []byte) (int, error) { return c.stream.Write(p) }

// SendBreak is not possible on a plain stream.
func (c *consoleConn) SendBreak(context.Context) error { return hal.ErrNotSupported }

// Close disconnects; it ends pump.
func (c *consoleConn) Close() error {
	err := c.stream.Close()
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
