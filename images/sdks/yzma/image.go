package adapter

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/hybridgroup/yzma/pkg/llama"
	"github.com/hybridgroup/yzma/pkg/mtmd"
	"sealbench.org/harness"
)

func (c *client) openProjector(s harness.Settings) (err error) {
	params := mtmd.ContextParamsDefault()
	if !s.Defaults {
		params.Threads = int32(s.Threads)
	}
	if c.projector, err = mtmd.InitFromFile(s.ProjectorPath, c.model, params); err != nil {
		return fmt.Errorf("projector %s: %w", s.ProjectorPath, err)
	}
	if !mtmd.SupportVision(c.projector) {
		return fmt.Errorf("projector %s does not read images", s.ProjectorPath)
	}
	return nil
}

// StreamImage implements harness.ImageChatter: decode the picture, run it through the vision encoder and, between the
// words of the prompt, through the model.
func (c *client) StreamImage(
	ctx context.Context, prompt string, image harness.Image, maxTokens int, answer *harness.Answer,
) error {
	if c.projector == 0 {
		return errors.New("no projector is loaded")
	}
	text, err := c.chat(mtmd.GetMarker(c.projector) + prompt)
	if err != nil {
		return err
	}
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	tokens, err := c.prefillImage(text, image)
	if err != nil {
		return err
	}
	return c.generate(ctx, tokens, maxTokens, answer)
}

// prefillImage returns how many tokens text and picture made.
func (c *client) prefillImage(text string, image harness.Image) (int, error) {
	if len(image.Data) == 0 {
		return 0, errors.New("the image is empty")
	}
	bitmap := mtmd.BitmapInitFromBuf(c.projector, &image.Data[0], uint64(len(image.Data)), false, mtmd.InitOptDefault())
	if bitmap.Bitmap == 0 {
		return 0, fmt.Errorf("the image cannot be decoded as %s", image.MIME)
	}
	defer mtmd.BitmapFree(bitmap.Bitmap)
	chunks := mtmd.InputChunksInit()
	defer mtmd.InputChunksFree(chunks)
	input := mtmd.NewInputText(text, true, true)
	status := mtmd.Tokenize(c.projector, chunks, input, []mtmd.Bitmap{bitmap.Bitmap})
	runtime.KeepAlive(input)
	if status != 0 {
		return 0, fmt.Errorf("mtmd_tokenize returned %d", status)
	}
	if err := llama.MemoryClear(c.memory, false); err != nil {
		return 0, err
	}
	var past llama.Pos
	if status := mtmd.HelperEvalChunks(c.projector, c.ctx, chunks, 0, 0, int32(c.batch), true, &past); status != 0 {
		return 0, fmt.Errorf("mtmd_helper_eval_chunks returned %d", status)
	}
	tokens := 0
	for i := range mtmd.InputChunksSize(chunks) {
		tokens += int(mtmd.InputChunkGetNTokens(mtmd.InputChunksGet(chunks, i)))
	}
	return tokens, nil
}
