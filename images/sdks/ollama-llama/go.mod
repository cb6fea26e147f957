module sealbench.org/sdks/ollama-llama

go 1.26.6

require github.com/ollama/ollama v0.11.4
