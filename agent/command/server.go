package command

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"ferric"
	"ferric/agentapi"
)

// maxBody bounds a request, in bytes: a config drive of 64 MiB in base64 with room to spare.
const maxBody = 96 << 20

// Server answers the agent's HTTP API.
type Server struct {
	log   *slog.Logger
	exec  *Executor
	token func() string
	began time.Time
	vers  string
	http  *http.Server
	done  chan struct{}
}

// ServerOptions say what a Server answers with.
type ServerOptions struct {
	Log      *slog.Logger
	Executor *Executor
	// Token returns the agent token; while it is empty every command is refused.
	Token   func() string
	Version string
	Started time.Time
}

// NewServer makes a Server; Serve starts it.
func NewServer(o ServerOptions) *Server {
	s := &Server{log: o.Log, exec: o.Executor, token: o.Token, began: o.Started, vers: o.Version, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 30 * time.Second,
		ReadTimeout:       10 * time.Minute, // a config drive over a slow link
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers requests on l, with TLS when cert is given, until Close. It returns at once; a listener that breaks is
// logged.
func (s *Server) Serve(l net.Listener, cert *tls.Certificate) {
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12})
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the command server stopped", "err", err)
		}
	}()
}

// Close lets requests in flight finish for at most two seconds, then ends them.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // the error would be the listener's, which is gone anyway
	}
	<-s.done
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, prefix := range []string{"/v1", ""} {
		mux.HandleFunc("GET "+prefix+"/status", s.status)
		mux.HandleFunc("GET "+prefix+"/commands", s.auth(s.list))
		mux.HandleFunc("POST "+prefix+"/commands", s.auth(s.run))
		mux.HandleFunc("GET "+prefix+"/commands/{id...}", s.auth(s.get))
	}
	mux.HandleFunc("GET /v1", s.root)
	mux.HandleFunc("GET /{$}", s.root)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fault(w, http.StatusNotFound, "404 Not Found: The requested URL was not found on the server.", "")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.Path) > 1 {
			r.URL.Path = strings.TrimRight(r.URL.Path, "/")
			r.URL.RawPath = strings.TrimRight(r.URL.RawPath, "/")
		}
		mux.ServeHTTP(w, r)
	})
}

// auth lets a request pass that carries the token in its query.
func (s *Server) auth(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want, got := s.token(), r.URL.Query().Get("agent_token")
		if want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
			s.log.Warn("command refused: wrong or no agent token", "from", r.RemoteAddr)
			s.fault(w, http.StatusUnauthorized, "401 Unauthorized: Token invalid.", "")
			return
		}
		next(w, r)
	}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	ext := s.exec.Extension()
	s.reply(w, http.StatusOK, agentapi.Status{StartedAt: float64(s.began.UnixMicro()) / 1e6, Version: s.vers, Ferric: &ext})
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	s.reply(w, http.StatusOK, agentapi.CommandResults{Commands: s.exec.List()})
}

func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	res, err := s.exec.Get(id)
	if err == nil && waits(r) {
		res, err = s.exec.Wait(r.Context(), id)
	}
	s.result(w, res, err)
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.fault(w, http.StatusBadRequest, "400 Bad Request: the body could not be read: "+err.Error(), "")
		return
	}
	var req agentapi.CommandRequest
	if err := json.Unmarshal(body, &req); err != nil {
		s.fault(w, http.StatusBadRequest, "400 Bad Request: the body is not a JSON object of name and params: "+err.Error(), "")
		return
	}
	if req.Name == "" || req.Params == nil {
		s.fault(w, http.StatusBadRequest, "400 Bad Request: Missing or invalid name or params", "")
		return
	}
	res, err := s.exec.Execute(req)
	if err == nil && waits(r) {
		res, err = s.exec.Wait(r.Context(), res.ID)
	}
	s.result(w, res, err)
}

func waits(r *http.Request) bool { return strings.EqualFold(r.URL.Query().Get("wait"), "true") }

// root describes the API in a few fields; clients of the agent do not read it.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	v := map[string]any{"id": "v1", "links": []agentapi.Link{{Href: "/v1", Rel: "self"}}}
	s.reply(w, http.StatusOK, map[string]any{
		"name": "Ferric agent API", "description": "Provisioning agent, compatible with ironic-python-agent",
		"versions": []any{v}, "default_version": v,
	})
}

func (s *Server) result(w http.ResponseWriter, res agentapi.CommandResult, err error) {
	if err == nil {
		s.reply(w, http.StatusOK, res)
		return
	}
	f := asFailure(err)
	var code ferric.Code
	if f.Type == agentapi.TypeStaleEpoch {
		code = ferric.CodeStale
	}
	level := slog.LevelWarn
	if f.Code == http.StatusNotFound {
		level = slog.LevelDebug // the conductor asks for a command before it sends it
	}
	s.log.Log(context.Background(), level, "command refused", "status", f.Code, "err", err)
	s.fault(w, f.Code, f.Error(), code)
}

func (s *Server) fault(w http.ResponseWriter, status int, text string, code ferric.Code) {
	who := "Client"
	if status >= 500 {
		who = "Server"
	}
	s.reply(w, status, agentapi.Fault{FaultCode: who, FaultString: text, Ferric: code})
}

func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("an answer cannot be encoded", "err", err)
		status, body = http.StatusInternalServerError, []byte(`{"faultcode": "Server", "faultstring": "the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the peer has gone; nobody is left to tell
}
