// Command ollama is an Ollama server with one model in it, in one program.
//
//	backend --model FILE --name NAME [--projector FILE] [--threads N] [--port N]
//
// The server starts itself once more for each model that it loads ("runner ..."): such a start is handed to Ollama's own
// runner. GET /v1/models/NAME answers 200 as soon as the model is there, and 404 before.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/runner"
	"github.com/ollama/ollama/server"
)

const exitUsage = 64

type options struct {
	name, model, projector string
	threads, port          int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "runner" {
		exit(runner.Execute(os.Args[1:]))
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "ollama backend:", err)
		os.Exit(exitUsage)
	}
	exit(serve(o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "ollama backend:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("backend", flag.ContinueOnError)
	flags.StringVar(&o.name, "name", "", "what clients call the model")
	flags.StringVar(&o.model, "model", "", "GGUF file")
	flags.StringVar(&o.projector, "projector", "", "GGUF file of the vision projector")
	flags.IntVar(&o.threads, "threads", 1, "threads of the engine")
	flags.IntVar(&o.port, "port", 8080, "port on 127.0.0.1")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case o.name == "" || o.model == "":
		return o, fmt.Errorf("--name and --model are needed")
	case o.threads < 1:
		return o, fmt.Errorf("--threads is %d", o.threads)
	}
	return o, nil
}

// serve runs the server until a signal ends it, or until its model cannot be made.
func serve(o options) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port)))
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(listener) }()
	go func() {
		base := &url.URL{Scheme: "http", Host: listener.Addr().String()}
		if err := create(context.Background(), api.NewClient(base, http.DefaultClient), o); err != nil {
			ended <- fmt.Errorf("model %s: %w", o.model, err)
		}
	}()
	return <-ended
}
