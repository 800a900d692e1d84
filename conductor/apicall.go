package conductor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"ferric/inspection/rules"
)

// maxAnswer is how much of an answer to a rule's API call is read; nothing is made of it.
const maxAnswer = 1 << 20

// callAPI does the API call of an inspection rule. Errors name the host only: a URL may hold a secret.
func callAPI(ctx context.Context, c rules.APICall) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("the URL must begin with http:// or https://")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	if len(c.Proxies) > 0 {
		transport.Proxy = func(r *http.Request) (*url.URL, error) {
			proxy := c.Proxies[r.URL.Scheme]
			if proxy == "" {
				return nil, nil
			}
			return url.Parse(proxy)
		}
	}
	client := &http.Client{Transport: transport, Timeout: c.Timeout}
	for try := 0; ; try++ {
		again, err := get(ctx, client, c)
		if err == nil {
			return nil
		}
		var address *url.Error
		if errors.As(err, &address) {
			err = address.Err
		}
		err = fmt.Errorf("request to %s failed: %w", u.Host, err)
		if !again || try >= c.Retries || ctx.Err() != nil {
			return err
		}
		pause := time.NewTimer(min(c.Backoff<<min(try, 10), time.Minute))
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// get does one try; again says that another one may do better.
func get(ctx context.Context, client *http.Client, c rules.APICall) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return false, err
	}
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the server is not cut off
	if resp.StatusCode >= 400 {
		return slices.Contains([]int{429, 500, 502, 503, 504}, resp.StatusCode), fmt.Errorf("the answer is %s", resp.Status)
	}
	return false, nil
}
