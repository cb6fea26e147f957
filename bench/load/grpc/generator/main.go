// Our load generator with a gRPC client: what bench/generator.py holds against ghz. The harness schedules, dispatches,
// judges and records as in every launch; BENCH_CONNECTIONS connections take turns.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sealbench.org/bench/load/grpc/echo"
	"sealbench.org/harness"
)

const connectionsVariable = "BENCH_CONNECTIONS"

func main() {
	harness.Main(nil, adapter{}, harness.Identity{SDK: "grpc", Module: "bench", Version: "0"})
}

type adapter struct{}

// Describe implements harness.Adapter.
func (adapter) Describe() harness.Description { return harness.Description{} }

// Open implements harness.Adapter.
func (adapter) Open(s harness.Settings) (harness.Client, error) {
	count, err := strconv.Atoi(os.Getenv(connectionsVariable))
	if err != nil || count < 1 {
		return nil, fmt.Errorf("%s is %q, not a number above 0", connectionsVariable, os.Getenv(connectionsVariable))
	}
	c := &client{}
	for range count {
		connection, err := grpc.NewClient(s.BaseURL, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		connection.Connect()
		c.connections = append(c.connections, connection)
	}
	return c, nil
}

type client struct {
	connections []*grpc.ClientConn
	turn        atomic.Uint64
}

func (c *client) Close() error {
	var failed error
	for _, connection := range c.connections {
		failed = errors.Join(failed, connection.Close())
	}
	return failed
}

// Stream implements harness.ChatStreamer: the answer is one token.
func (c *client) Stream(ctx context.Context, _ string, _ int, answer *harness.Answer) error {
	connection := c.connections[c.turn.Add(1)%uint64(len(c.connections))]
	var text wrapperspb.StringValue
	if err := connection.Invoke(ctx, echo.Path, wrapperspb.String("ask"), &text); err != nil {
		return err
	}
	answer.Text(text.GetValue())
	answer.Finish("length")
	return nil
}
