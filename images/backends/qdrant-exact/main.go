// Command qdrant-exact speaks Qdrant's gRPC protocol and searches exactly, in memory. It is a stand-in and not Qdrant:
// what is measured against it is the client's cost. Its settings come in REPRO_BACKEND, its records leave on the
// descriptor named by REPRO_FD; docs/backends.md describes both.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
)

const (
	exitFailed = 1
	exitUsage  = 64

	shutdownTime = 500 * time.Millisecond
	// maxStreams is more than any drive keeps in flight.
	maxStreams = 4096
	// protocolVersion is the release of Qdrant whose protocol this speaks: clients compare it with their own.
	protocolVersion = "1.18.3"
)

func main() { os.Exit(run()) }

func run() int {
	c, err := parseConfig(os.Getenv(envBackend))
	if err != nil {
		fmt.Fprintf(os.Stderr, "qdrant-exact: %s: %v\n", envBackend, err)
		return exitUsage
	}
	r, err := openReport(os.Getenv(envFD))
	if err != nil {
		fmt.Fprintln(os.Stderr, "qdrant-exact:", err)
		return exitUsage
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "qdrant-exact:", err)
		return exitFailed
	}
	return serve(listener, newServer(c, r), r)
}

// newServer registers the services. A call that the stand-in does not have is answered with "unimplemented".
func newServer(c config, r *report) *grpc.Server {
	limit := c.MaxMessageMiB << 20
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit), grpc.MaxConcurrentStreams(maxStreams),
		grpc.UnaryInterceptor(r.counting),
	)
	held := &store{collections: map[string]*collection{}}
	qdrant.RegisterQdrantServer(server, health{})
	qdrant.RegisterCollectionsServer(server, &collections{store: held})
	qdrant.RegisterPointsServer(server, &points{store: held})
	return server
}

// serve answers until a signal comes.
func serve(listener net.Listener, server *grpc.Server, r *report) int {
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	ticks := make(chan struct{})
	go r.run(ticks)
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "qdrant-exact:", err)
		return exitFailed
	case <-ended.Done():
	}
	// Open calls get their time; what is open after it is cut off.
	cut := time.AfterFunc(shutdownTime, server.Stop)
	server.GracefulStop()
	cut.Stop()
	close(ticks)
	r.flush()
	return 0
}

// health says which protocol this is, and that it is not Qdrant.
type health struct {
	qdrant.UnimplementedQdrantServer
}

func (health) HealthCheck(context.Context, *qdrant.HealthCheckRequest) (*qdrant.HealthCheckReply, error) {
	return &qdrant.HealthCheckReply{Title: "qdrant-exact, a stand-in for Qdrant", Version: protocolVersion}, nil
}
