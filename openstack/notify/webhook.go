package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ferric"
)

// Webhook posts each message to a URL, one after the other. An answer of 2xx means that it was taken; 400, 410, 413 and 422 that it never will be; with any
// other it is tried again.
type Webhook struct {
	URL     string
	Secret  []byte // for the signature; empty: none
	Timeout time.Duration
	Client  *http.Client
	Now     func() time.Time // nil: time.Now
}

// The headers of a request.
const (
	headerMessage   = "Ferric-Message-Id"
	headerEvent     = "Ferric-Event-Type"
	headerTimestamp = "Ferric-Timestamp"
	headerSignature = "Ferric-Signature"
)

// maxExplanation is how much of an answer is quoted in messages.
const maxExplanation = 200

// Send implements Sink.
func (w *Webhook) Send(ctx context.Context, list []ferric.Notice) (sent int, err error) {
	for i := range list {
		if err := w.post(ctx, &list[i]); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

func (w *Webhook) post(ctx context.Context, n *ferric.Notice) error {
	body, err := json.Marshal(NewMessage(n))
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "message %s: %w", n.MessageID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the URL of the webhook is not valid")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(headerMessage, n.MessageID)
	req.Header.Set(headerEvent, n.EventType)
	if len(w.Secret) > 0 {
		now := time.Now
		if w.Now != nil {
			now = w.Now
		}
		stamp := strconv.FormatInt(now().Unix(), 10)
		req.Header.Set(headerTimestamp, stamp)
		req.Header.Set(headerSignature, Signature(w.Secret, stamp, body))
	}
	resp, err := w.Client.Do(req)
	if err != nil {
		var at *url.Error // it would show the URL, which may hold a secret
		if errors.As(err, &at) {
			err = at.Err
		}
		return ferric.Errorf(ferric.CodeUnavailable, "post to the webhook at %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxExplanation))
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode/100 == 2 {
		return nil
	}
	why := fmt.Sprintf("the webhook at %s answers %s: %s", req.URL.Host, resp.Status, strings.TrimSpace(strings.ToValidUTF8(string(text), "?")))
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &Refused{why}
	}
	return ferric.Errorf(ferric.CodeUnavailable, "%s", why)
}

// Signature is what proves that a request came from somebody who knows the secret, and when: "sha256=" and the HMAC-SHA256, in hex, of the time (seconds
// since 1970, as in the header), a dot and the body.
func Signature(secret []byte, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Close implements Sink.
func (w *Webhook) Close() error {
	w.Client.CloseIdleConnections()
	return nil
}
