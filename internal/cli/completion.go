package cli

import (
	"context"
)

func completionVerb() *Verb {
	shells := []string{"bash", "zsh", "fish"}
	return &Verb{
		Name: "completion", Group: groupCommand, Summary: "Print the script that makes a shell complete this command",
		Args: "bash|zsh|fish", Min: 1, Max: 1, ModernOnly: true, NoJSON: true, NoStore: true, Words: shells,
		Detail: "The script completes commands, options, and the IDs and names of what is in the store.",
		Examples: []Example{
			{"Complete in this bash", "source <(strata completion bash)"},
			{"Complete in every bash", "strata completion bash > /etc/bash_completion.d/strata"},
			{"Complete in every zsh", "strata completion zsh > /usr/local/share/zsh/site-functions/_strata"},
			{"Complete in every fish", "strata completion fish > ~/.config/fish/completions/strata.fish"},
		},
		Run: func(_ context.Context, c *Call) error {
			return c.command.complete(c.Args[0], c.Out)
		},
	}
}
