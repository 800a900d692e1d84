package bus

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
	"ferric/obs"
)

// The headers of a message. The payload is JSON, or empty for nil.
const (
	headerRequestID = "Ferric-Request-Id"
	headerTimeout   = "Ferric-Timeout"    // time left to the caller's deadline when it sent, a Go duration
	headerCode      = "Ferric-Error-Code" // a ferric.Code; its presence makes the answer an error
	headerMessage   = "Ferric-Error"      // the message, as a quoted ASCII Go string (a header holds no line break)
)

// An error's message longer than this is cut: it travels in a header.
const maxErrorText = 16 << 10

// newMessage makes a message with v as JSON (nothing for nil) and the request id of the context.
func (b *Bus) newMessage(ctx context.Context, subject string, v any) (*nats.Msg, error) {
	data, err := payload(v)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: subject, Data: data}
	if id := obs.RequestID(ctx); cleanID(id) {
		m.Header = nats.Header{headerRequestID: {id}}
	}
	return m, nil
}

// cleanID reports whether an id can be a header value as it is; other ids (foreign ones) are not carried on.
func cleanID(id string) bool {
	if id == "" || len(id) > 255 {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// decode reads a payload into v; an empty payload leaves v as it is, and unknown fields are let pass, so that two
// releases can talk to each other.
func decode(data []byte, v any) error {
	if v == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, v)
}

// errorHeader writes an error as headers.
func errorHeader(err error) nats.Header {
	code := ferric.ErrorCode(err)
	var coded *ferric.Error
	if !errors.As(err, &coded) {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			code = ferric.CodeTimeout
		case errors.Is(err, context.Canceled):
			code = ferric.CodeUnavailable
		}
	}
	if !cleanID(string(code)) {
		code = ferric.CodeInternal
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + " …"
	}
	return nats.Header{headerCode: {string(code)}, headerMessage: {strconv.QuoteToASCII(text)}}
}

// errorOf takes an error out of the headers; nil if there is none.
func errorOf(h nats.Header) error {
	code := h.Get(headerCode)
	if code == "" {
		return nil
	}
	text, err := strconv.Unquote(h.Get(headerMessage))
	if err != nil {
		text = "the bus brought an error of code " + code + " with an unreadable message"
	}
	return &ferric.Error{Code: ferric.Code(code), Message: text}
}

// timeoutOf reads the time left to the caller's deadline; fallback if the header is absent or makes no sense.
func timeoutOf(h nats.Header, fallback time.Duration) time.Duration {
	d, err := time.ParseDuration(h.Get(headerTimeout))
	if err != nil || d <= 0 {
		return fallback
	}
	return d
}
