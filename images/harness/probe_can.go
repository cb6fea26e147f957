package harness

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
)

// Experiments about what an SDK can do.

// tokensAsked is the length of an ordinary answer, as in workload chat-stream-128.
const tokensAsked = 128

// openAICompatible goes by the route that the server saw, not by what the SDK says of itself.
func openAICompatible(ctx context.Context, l *lab) (finding, error) {
	poke, done, err := l.poker("")
	if err != nil {
		return finding{}, err
	}
	defer done()
	if err := l.control.reset(ctx); err != nil {
		return finding{}, err
	}
	if _, err := poke(ctx); err != nil {
		return finding{}, err
	}
	stats, err := l.control.stats(ctx)
	if err != nil {
		return finding{}, err
	}
	outcome := probeNo
	switch stats.Last.Path {
	case "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses":
		outcome = probeYes
	}
	return found(outcome, "the server saw %s", stats.Last.Path).with(map[string]any{"path": stats.Last.Path}), nil
}

// localModel: an answer without any server is the evidence; with one, there is nothing to run.
func localModel(ctx context.Context, l *lab) (finding, error) {
	if !l.local {
		return found(probeNo, "it is a client: without a server there is no answer"), nil
	}
	poke, done, err := l.poker("")
	if err != nil {
		return finding{}, err
	}
	defer done()
	answered, err := poke(ctx)
	switch {
	case err != nil:
		return finding{}, err
	case !answered:
		return found(probeNo, "its engine gave no answer"), nil
	}
	return found(probeYes, "an answer came from a model in this process, with no server there"), nil
}

// streams: the first piece has to come clearly before the end, not with it.
func streams(ctx context.Context, l *lab) (finding, error) {
	h, err := l.listen(ctx, "", tokensAsked)
	if err != nil {
		return finding{}, err
	}
	if h.err != nil {
		return finding{}, h.err
	}
	first, total := milliseconds(h.first-h.start), milliseconds(h.end-h.start)
	data := map[string]any{"first_ms": first, "total_ms": total, "pieces": h.pieces}
	if h.pieces < 2 || first > 0.75*total {
		return found(probeNo, "%d pieces, the first after %.1f of %.1f ms", h.pieces, first, total).with(data), nil
	}
	return found(probeYes, "first of %d pieces after %.1f of %.1f ms", h.pieces, first, total).number(first, "ms").with(data), nil
}

func embeds(ctx context.Context, l *lab) (finding, error) {
	client, done, err := as[Embedder](l, kindEmbed, "", "embeddings")
	if err != nil {
		return finding{}, err
	}
	defer done()
	w := l.workload(kindEmbed, "")
	var a Answer
	if err := client.Embed(ctx, w.input(), &a); err != nil {
		return finding{}, err
	}
	if outcome, text := newJudge(w, nil).fault(0, &a); outcome != OK {
		return found(probeNo, "%s (%d components)", text, a.vector).number(float64(a.vector), "components"), nil
	}
	return found(probeYes, "%d components, all finite", a.vector).number(float64(a.vector), "components"), nil
}

// embedsBase64 asks what the SDK's ordinary call asks for, and then its own way to ask for base64, if it has one.
func embedsBase64(ctx context.Context, l *lab) (finding, error) {
	client, done, err := as[Embedder](l, kindEmbed, "", "embeddings")
	if err != nil {
		return finding{}, err
	}
	defer done()
	w := l.workload(kindEmbed, "")
	usual, err := l.embedding(ctx, w, client.Embed)
	if err != nil {
		return finding{}, err
	}
	data := map[string]any{"default": usual}
	if usual == "base64" {
		return found(probeYes, "its ordinary call asks for base64, and gives %d components", w.Dimensions).with(data), nil
	}
	special, ok := any(client).(Base64Embedder)
	if !ok {
		return found(probeNo, "its ordinary call asks for %s; its adapter has no other", orNothing(usual)).with(data), nil
	}
	asked, err := l.embedding(ctx, w, special.EmbedBase64)
	switch {
	case err != nil:
		return finding{}, err
	case asked != "base64":
		return found(probeNo, "asked for base64, the server saw encoding_format %s", orNothing(asked)).with(data), nil
	}
	return found(probeYes, "asked for it, it sends encoding_format base64 and decodes %d components; its ordinary call asks for %s",
		w.Dimensions, orNothing(usual)).with(data), nil
}

// embedding makes one call and gives the encoding_format that the server saw.
func (l *lab) embedding(ctx context.Context, w *Workload, call func(context.Context, string, *Answer) error) (string, error) {
	var a Answer
	if err := l.control.reset(ctx); err != nil {
		return "", err
	}
	if err := call(ctx, w.input(), &a); err != nil {
		return "", err
	}
	if outcome, text := newJudge(w, nil).fault(0, &a); outcome != OK {
		return "", fmt.Errorf("%s (%d components)", text, a.vector)
	}
	stats, err := l.control.stats(ctx)
	return stats.Last.EncodingFormat, err
}

func orNothing(text string) string {
	if text == "" {
		return "nothing in particular"
	}
	return text
}

// images: the server has to see the very bytes; a model in this process has to say something else about another image.
func images(ctx context.Context, l *lab) (finding, error) {
	w := l.workload(kindImage, "")
	client, done, err := asWith[ImageChatter](l, w, "chat about an image")
	if err != nil {
		return finding{}, err
	}
	defer done()
	if !l.served {
		return l.sight(ctx, client, w)
	}
	if err := l.control.reset(ctx); err != nil {
		return finding{}, err
	}
	sent := picture(0)
	h := hear(func(a *Answer) error { return client.StreamImage(ctx, w.input(), sent, 8, a) }, nil)
	if h.err != nil {
		return finding{}, h.err
	}
	stats, err := l.control.stats(ctx)
	if err != nil {
		return finding{}, err
	}
	sum := sha256.Sum256(sent.Data)
	data := map[string]any{"images": stats.Last.Images, "sha256": stats.Last.ImageSHA256}
	if stats.Last.Images != 1 || stats.Last.ImageSHA256 != hex.EncodeToString(sum[:]) {
		return found(probeNo, "the server saw %d images, sha256 %.12s, not the one that was sent", stats.Last.Images, stats.Last.ImageSHA256).with(data), nil
	}
	return found(probeYes, "the server saw one image, byte for byte the one that was sent (sha256 %.12s)", stats.Last.ImageSHA256).with(data), nil
}

func (l *lab) sight(ctx context.Context, client ImageChatter, w *Workload) (finding, error) {
	if err := proveSight(ctx, client, w, newJudge(w, nil)); err != nil {
		return found(probeNo, "%v", err), nil
	}
	return found(probeYes, "two different images gave two different texts"), nil
}

// countsTokens: by a call of its own, or at least by handing on what the server counted.
func countsTokens(ctx context.Context, l *lab) (finding, error) {
	client, done, err := as[ChatStreamer](l, kindChat, "", "streamed chat")
	if err != nil {
		return finding{}, err
	}
	defer done()
	input := l.workload(kindChat, "").input()
	if counter, ok := any(client).(TokenCounter); ok {
		n, err := counter.CountTokens(ctx, input)
		if err != nil {
			return finding{}, err
		}
		if n < 1 {
			return found(probeNo, "it counts %d tokens in a text of %d words", n, chatWords), nil
		}
		return found(probeYes, "it counts %d tokens in a text of %d words", n, chatWords).number(float64(n), "tokens"), nil
	}
	h := hear(func(a *Answer) error { return client.Stream(ctx, input, 8, a) }, nil)
	if h.err != nil {
		return finding{}, h.err
	}
	data := map[string]any{"usage_input": h.answer.prompt, "usage_output": h.answer.output}
	if h.answer.output < 1 {
		return found(probeNo, "no call of its own, and no count with a streamed answer").with(data), nil
	}
	return found(probePartial, "no call of its own; a streamed answer comes with the server's count (%d in, %d out)",
		h.answer.prompt, h.answer.output).with(data), nil
}

// switchesBackend opens a second client beside the first one, for another server (HTTPS on the next port) or, where
// the SDK does not get there, for another model; and then uses the first one again.
func switchesBackend(ctx context.Context, l *lab) (finding, error) {
	if l.local {
		return l.switchesModel(ctx)
	}
	if !l.served {
		return finding{}, lacking(l.unserved)
	}
	first, done, err := l.poker("")
	if err != nil {
		return finding{}, err
	}
	defer done()
	secure, secureErr := l.overTLS(ctx)
	path, err := l.reaches(ctx, "tokens=2")
	if err != nil {
		return finding{}, err
	}
	if _, err := first(ctx); err != nil {
		return finding{}, fmt.Errorf("the first client, after the second was opened: %w", err)
	}
	data := map[string]any{"https": secure, "path": path}
	if secureErr != nil {
		data["https_error"] = secureErr.Error()
		return found(probeYes, "two clients side by side, one of another model; HTTPS was not reached: %v", secureErr).with(data), nil
	}
	return found(probeYes, "clients of http and https servers and of two models side by side, in one process").with(data), nil
}

// reaches makes a request with a second client and gives the route, if the server saw that client's model.
func (l *lab) reaches(ctx context.Context, scenario string) (string, error) {
	poke, done, err := l.poker(scenario)
	if err != nil {
		return "", err
	}
	defer done()
	if err := l.control.reset(ctx); err != nil {
		return "", err
	}
	if _, err := poke(ctx); err != nil {
		return "", err
	}
	stats, err := l.control.stats(ctx)
	if err == nil && stats.Last.Model != stubModel+"+"+scenario {
		err = fmt.Errorf("the server saw model %q, not that of the second client", stats.Last.Model)
	}
	return stats.Last.Path, err
}

// overTLS does the same on the stub's HTTPS port, the one after its plain one.
func (l *lab) overTLS(ctx context.Context) (bool, error) {
	secure, err := l.secureURL()
	if err != nil {
		return false, err
	}
	if err := l.control.trust(ctx); err != nil {
		return false, err
	}
	beside := *l
	work := *l.work
	work.BaseURL = secure
	beside.work = &work
	_, err = beside.reaches(ctx, "tokens=3")
	return err == nil, err
}

func (l *lab) secureURL() (string, error) {
	base, err := url.Parse(l.work.BaseURL)
	if err != nil {
		return "", err
	}
	port, err := strconv.Atoi(base.Port())
	if err != nil || base.Scheme != "http" {
		return "", fmt.Errorf("%s has no HTTPS port beside it", l.work.BaseURL)
	}
	base.Scheme, base.Host = "https", net.JoinHostPort(base.Hostname(), strconv.Itoa(port+1))
	return base.String(), nil
}

// switchesModel has two models in one process, one after the other in use.
func (l *lab) switchesModel(ctx context.Context) (finding, error) {
	chat, done, err := as[ChatStreamer](l, kindChat, "", "streamed chat")
	if err != nil {
		return finding{}, err
	}
	defer done()
	embed, closeSecond, err := as[Embedder](l, kindEmbed, "", "second model (embeddings)")
	if err != nil {
		return finding{}, err
	}
	defer closeSecond()
	var a Answer
	if err := embed.Embed(ctx, l.workload(kindEmbed, "").input(), &a); err != nil {
		return finding{}, err
	}
	h := hear(func(a *Answer) error { return chat.Stream(ctx, l.workload(kindChat, "").input(), 8, a) }, nil)
	if h.err != nil {
		return finding{}, h.err
	}
	if h.pieces == 0 || a.vector == 0 {
		return found(probeNo, "with two models open, one gave no answer (%d pieces, %d components)", h.pieces, a.vector), nil
	}
	return found(probeYes, "a chat and an embedding model side by side, in one process"), nil
}

// customTemplate: the server has to see the prompt as the template makes it.
func customTemplate(ctx context.Context, l *lab) (finding, error) {
	const template = "### Question: {{prompt}} ### Answer:"
	client, done, err := as[Templater](l, kindChat, "", "prompt template of the caller's own")
	if err != nil {
		return finding{}, err
	}
	defer done()
	if l.served {
		if err := l.control.reset(ctx); err != nil {
			return finding{}, err
		}
	}
	prompt := l.workload(kindChat, "").input()
	h := hear(func(a *Answer) error { return client.StreamTemplate(ctx, template, prompt, 16, a) }, nil)
	if h.err != nil {
		return finding{}, h.err
	}
	if !l.served {
		return l.otherText(ctx, client, prompt, h.text.String())
	}
	stats, err := l.control.stats(ctx)
	if err != nil {
		return finding{}, err
	}
	if want := strings.ReplaceAll(template, "{{prompt}}", prompt); !strings.Contains(stats.Last.Prompt, want) {
		return found(probeNo, "the server saw another prompt: %.80q", stats.Last.Prompt), nil
	}
	return found(probeYes, "the server saw the prompt as the template makes it"), nil
}

// otherText is the evidence without a server: greedy decoding says something else after another prompt.
func (l *lab) otherText(ctx context.Context, client Templater, prompt, templated string) (finding, error) {
	plain := hear(func(a *Answer) error { return client.StreamTemplate(ctx, "{{prompt}}", prompt, 16, a) }, nil)
	switch {
	case plain.err != nil:
		return finding{}, plain.err
	case plain.text.String() == templated || templated == "":
		return found(probeNo, "with and without the template the text is the same"), nil
	}
	return found(probeYes, "the model says something else with the template than without it"), nil
}

// mapsModelFile looks into this process's memory map while the model is loaded.
func mapsModelFile(ctx context.Context, l *lab) (finding, error) {
	if !l.local {
		return finding{}, lacking("it is a client: it has no model file")
	}
	kind := kindChat
	if l.workload(kindChat, "").ModelPath == "" {
		kind = kindEmbed
	}
	file := l.workload(kind, "").ModelPath
	poke, done, err := l.poker("")
	if err != nil {
		return finding{}, err
	}
	defer done()
	if _, err := poke(ctx); err != nil {
		return finding{}, err
	}
	mapped, err := mappedBytes(file)
	if err != nil {
		return finding{}, err
	}
	data := map[string]any{"bytes": mapped, "file": path.Base(file)}
	if mapped == 0 {
		return found(probeNo, "no mapping of %s: the engine has read it into its own memory", path.Base(file)).with(data), nil
	}
	return found(probeYes, "%d bytes of %s are mapped", mapped, path.Base(file)).number(float64(mapped), "B").with(data), nil
}

// mappedBytes is how much of a file, or of the files in a folder, /proc/self/maps shows.
func mappedBytes(file string) (int64, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	defer maps.Close()
	var total int64
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != file && !strings.HasPrefix(fields[5], file+"/") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		low, errLow := strconv.ParseInt(from, 16, 64)
		high, errHigh := strconv.ParseInt(to, 16, 64)
		if errLow == nil && errHigh == nil {
			total += high - low
		}
	}
	return total, lines.Err()
}
