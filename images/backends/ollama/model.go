package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/envconfig"
	"github.com/ollama/ollama/fs/ggml"
)

// templates gives a model's own chat template in Ollama's language. Ollama puts the nearest one that it knows in the place
// of a template that it does not know: the synthetic model's would become one of ChatML's kind, of other length.
var templates = map[string]string{
	"{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n" +
		"{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}": "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant:",
}

// create makes the model through the server's own interface, as `ollama create` does.
func create(ctx context.Context, client *api.Client, o options) error {
	if err := awaitServer(ctx, client); err != nil {
		return err
	}
	files := map[string]string{}
	for _, file := range []string{o.model, o.projector} {
		if file == "" {
			continue
		}
		digest, err := link(file)
		if err != nil {
			return err
		}
		files[filepath.Base(file)] = digest
	}
	template, err := templateOf(o.model)
	if err != nil {
		return err
	}
	request := &api.CreateRequest{
		Model:    o.name,
		Files:    files,
		Template: template,
		Parameters: map[string]any{
			"num_thread": o.threads, // the default is the machine's core count, whatever the container may use
			"top_k":      1,         // greedy: the same answer each time, whatever temperature a client sends
		},
	}
	return client.Create(ctx, request, func(api.ProgressResponse) error { return nil })
}

// awaitServer returns when the server answers; it has cleaned up its folder of models by then.
func awaitServer(ctx context.Context, client *api.Client) error {
	const pause, tries = 5 * time.Millisecond, 2000
	var err error
	for range tries {
		if err = client.Heartbeat(ctx); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

// link puts a model file into the server's store without a copy, which would count as the container's memory.
func link(file string) (digest string, err error) {
	source, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	sum, err := sha256File(source)
	if err != nil {
		return "", err
	}
	blobs := filepath.Join(envconfig.Models(), "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return "", err
	}
	blob := filepath.Join(blobs, "sha256-"+sum)
	if err := os.Remove(blob); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return "sha256:" + sum, os.Symlink(source, blob)
}

func sha256File(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// templateOf is empty where Ollama should choose: for other models than ours.
func templateOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	model, err := ggml.Decode(f, 0)
	if err != nil {
		return "", err
	}
	own, _ := model.KV()["tokenizer.chat_template"].(string)
	return templates[strings.TrimSpace(own)], nil
}
