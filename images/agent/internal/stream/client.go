// Package stream sends records to the host's collector. It is for the eye: losing it ends nothing, the journal goes on.
package stream

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"sealbench.org/agent/internal/pb"
)

// queuedChunks bounds what waits for a collector that does not read; beyond that the stream counts as lost.
const queuedChunks = 16

// Client is one Attach call.
type Client struct {
	connection *grpc.ClientConn
	call       grpc.ClientStream
	queue      chan *Chunk
	directives chan *pb.Directive
	sent       chan struct{} // closed when all is sent or the stream is lost
	lost       atomic.Bool
}

// Dial connects to a Unix socket and opens the call; it tries until the context ends.
func Dial(ctx context.Context, socket string) (*Client, error) {
	connection, err := grpc.NewClient("unix:"+socket, options()...)
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, connection); err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	// The call lives as long as the container; a deadline would be a timer.
	call, err := connection.NewStream(context.Background(), &pb.Collector_ServiceDesc.Streams[0],
		pb.Collector_Attach_FullMethodName, grpc.ForceCodecV2(codec{}))
	if err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	client := &Client{connection: connection, call: call, queue: make(chan *Chunk, queuedChunks),
		directives: make(chan *pb.Directive, queuedChunks), sent: make(chan struct{})}
	go client.send()
	go client.receive()
	return client, nil
}

// options keep gRPC quiet: no idle timer, no keep-alive, no service configuration, small buffers.
func options() []grpc.DialOption {
	retry := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: time.Second}),
		grpc.WithIdleTimeout(0), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(),
		grpc.WithReadBufferSize(4 << 10), grpc.WithWriteBufferSize(16 << 10), grpc.WithSharedWriteBuffer(true),
		// A fixed window switches the bandwidth estimator and its pings off.
		grpc.WithInitialWindowSize(64 << 10), grpc.WithInitialConnWindowSize(64 << 10),
	}
}

func awaitReady(ctx context.Context, connection *grpc.ClientConn) error {
	connection.Connect()
	for {
		state := connection.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if !connection.WaitForStateChange(ctx, state) {
			return errors.New("no collector answers on the socket")
		}
	}
}

// Send queues a chunk, which must not be changed afterwards. It never waits.
func (c *Client) Send(chunk *Chunk) {
	if c.lost.Load() {
		return
	}
	select {
	case c.queue <- chunk:
	default:
		c.lost.Store(true)
	}
}

// Lost says that nothing is sent any more.
func (c *Client) Lost() bool { return c.lost.Load() }

// Directives is closed when the collector's side has ended.
func (c *Client) Directives() <-chan *pb.Directive { return c.directives }

// CloseSend sends what is queued and ends our side, waiting no longer than the context. Send must not be called again.
func (c *Client) CloseSend(ctx context.Context) {
	close(c.queue)
	select {
	case <-c.sent:
	case <-ctx.Done():
	}
}

// Close drops the connection.
func (c *Client) Close() { _ = c.connection.Close() }

func (c *Client) send() {
	defer close(c.sent)
	for chunk := range c.queue {
		if c.lost.Load() {
			continue
		}
		if err := c.call.SendMsg(chunk); err != nil {
			c.lose()
		}
	}
	if !c.lost.Load() {
		_ = c.call.CloseSend()
	}
}

func (c *Client) receive() {
	defer close(c.directives)
	for {
		directive := new(pb.Directive)
		if err := c.call.RecvMsg(directive); err != nil {
			if !errors.Is(err, io.EOF) {
				c.lose()
			}
			c.lost.Store(true)
			return
		}
		c.directives <- directive
	}
}

// lose closes the connection too: an open one would try to reconnect for ever, with timers, during a measurement.
func (c *Client) lose() {
	c.lost.Store(true)
	go c.Close()
}
