package lab

import (
	"bufio"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"
)

// fakeQMP answers each line that comes with the lines given, in turn.
func fakeQMP(t *testing.T, answers ...string) *qmp {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() { server.Close() })
	go func() {
		requests := bufio.NewScanner(server)
		for i, answer := range answers {
			if i > 0 && !requests.Scan() {
				return
			}
			if _, err := server.Write([]byte(answer)); err != nil {
				return
			}
		}
		server.Close()
	}()
	q := newQMP(client, time.Now().Add(time.Minute))
	t.Cleanup(q.close)
	return q
}

const greeting = `{"QMP": {"version": {}, "capabilities": []}}` + "\n"

func TestQMP(t *testing.T) {
	tests := map[string]struct {
		answers []string
		want    string // error; "" for none
	}{
		"answer":         {[]string{greeting, `{"return": {}, "id": 1}` + "\n", `{"return": {"running": true}, "id": 2}` + "\n"}, ""},
		"event before":   {[]string{greeting, `{"return": {}, "id": 1}` + "\n", `{"event": "RESET", "timestamp": {}}` + "\n" + `{"return": {"running": true}, "id": 2}` + "\n"}, ""},
		"late answer":    {[]string{greeting, `{"return": {}, "id": 1}` + "\n", `{"return": {}, "id": 1}` + "\n" + `{"return": {"running": true}, "id": 2}` + "\n"}, ""},
		"error":          {[]string{greeting, `{"return": {}, "id": 1}` + "\n", `{"error": {"class": "GenericError", "desc": "no such thing"}, "id": 2}` + "\n"}, "no such thing"},
		"no greeting":    {[]string{"hello\n"}, "no QMP greeting"},
		"hangs up":       {[]string{greeting, `{"return": {}, "id": 1}` + "\n"}, "query-status"},
		"not JSON":       {[]string{greeting, `{"return": {}, "id": 1}` + "\n", "}{\n"}, "answer"},
		"another result": {[]string{greeting, `{"return": {}, "id": 1}` + "\n", `{"return": 5, "id": 2}` + "\n"}, "answer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q := fakeQMP(t, test.answers...)
			var result struct {
				Running bool `json:"running"`
			}
			err := q.greet()
			if err == nil {
				err = q.execute("query-status", nil, &result)
			}
			switch {
			case test.want == "" && (err != nil || !result.Running):
				t.Errorf("result %+v, error %v", result, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzQMP(f *testing.F) {
	f.Add([]byte(`{"return": {}, "id": 1}`))
	f.Add([]byte(`{"error": null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		server, client := net.Pipe()
		defer server.Close()
		go func() {
			buffer := make([]byte, 4096)
			server.Read(buffer)                //nolint:errcheck // the test is about the answer
			server.Write(append(answer, '\n')) //nolint:errcheck // likewise
			server.Close()
		}()
		q := newQMP(client, time.Now().Add(10*time.Second))
		defer q.close()
		var result json.RawMessage
		if err := q.execute("x", nil, &result); err == nil && len(result) == 0 {
			t.Errorf("answer %q: neither result nor error", answer)
		}
	})
}
