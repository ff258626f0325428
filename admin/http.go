package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"zooid/fourletter"
)

// Options are what a Handler shows.
type Options struct {
	// Status gives the server's Status with the parts asked for. It is called
	// by any goroutine.
	Status func(parts fourletter.Part) *fourletter.Status
	// Live tells why the process should be started anew; nil is always alive.
	Live func() error
	// Version is our own version, a label of the metric zooid_info.
	Version string
	// CommandURL is the path of the AdminServer's commands, "/commands" if empty.
	CommandURL string
	// Log may be nil.
	Log *zap.Logger
}

// NewHandler makes the handler of /metrics, /livez and /readyz. It takes GET
// and HEAD.
func NewHandler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Live == nil {
		o.Live = func() error { return nil }
	}
	if o.CommandURL == "" {
		o.CommandURL = "/commands"
	}
	page, live, ready := newMetricsPage(&o), livez(o.Live), readyz(o.Status)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeJSON(w, http.StatusMethodNotAllowed, failure{Error: r.Method + " is not supported here"})
			return
		}
		switch path := r.URL.Path; {
		case path == "/metrics":
			page.ServeHTTP(w, r)
		case path == "/livez":
			live(w, r)
		case path == "/readyz":
			ready(w, r)
		case path == o.CommandURL || strings.HasPrefix(path, o.CommandURL+"/"):
			command := strings.Trim(path[len(o.CommandURL):], "/")
			writeJSON(w, http.StatusNotFound, failure{Command: command,
				Error: "the AdminServer's commands are not available; the four-letter words of the client port give the same figures"})
		default:
			writeJSON(w, http.StatusNotFound, failure{Error: "no such page; there are /metrics, /livez and /readyz"})
		}
	})
}

// failure is the body of an answer that has only an error to give.
type failure struct {
	Command string `json:"command,omitempty"`
	Error   string `json:"error"`
}

// Limits of a connection.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	replyTimeout   = time.Minute
	headerBytes    = 64 << 10
)

// Server serves a handler on one address.
type Server struct {
	http   http.Server
	socket net.Listener
	done   chan struct{} // closed when serving has ended
}

// Listen serves the handler on a TCP address until Close. An address that
// cannot be listened on, such as a port that is taken, is an error; ZooKeeper
// then runs without its AdminServer. A connection that is silent for longer than
// idle is closed. log may be nil.
func Listen(address string, handler http.Handler, idle time.Duration, log *zap.Logger) (*Server, error) {
	if log == nil {
		log = zap.NewNop()
	}
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s := &Server{socket: socket, done: make(chan struct{})}
	s.http = http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      replyTimeout,
		IdleTimeout:       idle,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          zap.NewStdLog(log),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin port is closed", zap.Stringer("address", socket.Addr()), zap.Error(err))
		}
	}()
	return s, nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.socket.Addr() }

// Close stops listening and waits for the answers under way until ctx ends,
// then cuts them off.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
