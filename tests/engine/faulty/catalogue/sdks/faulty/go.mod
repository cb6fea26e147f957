module sealbench.org/sdks/faulty

go 1.26.6

require github.com/sashabaranov/go-openai v1.43.0
