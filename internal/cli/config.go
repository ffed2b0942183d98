package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/internal/cli/table"
)

// explainWord is the argument of config that asks for origins instead of naming a file.
const explainWord = "explain"

func configVerb() *Verb {
	return &Verb{
		Name: "config", Group: groupStore, Summary: "Show the configuration in effect", Args: "[explain|FILE]", Max: 1,
		Files: true, Words: []string{explainWord}, NoStore: true,
		Detail: "FILE is read instead of the files that are found otherwise. `explain` tells for each value the file and line\n" +
			"that it comes from, what it overrode, and which keys nobody knows.",
		Examples: []Example{
			{"See the configuration", "strata config"},
			{"See where each value comes from", "strata config explain"},
			{"Try a file out", "strata config ./storage.conf"},
		},
		Run: showConfig,
	}
}

func showConfig(_ context.Context, c *Call) error {
	arg := argument(c.Args, 0)
	explain := arg == explainWord && !c.classic()
	if explain {
		cfg, err := c.Config()
		if err != nil {
			return err
		}
		return c.Show(explainConfig(cfg))
	}
	cfg, err := c.configOf(arg)
	if err != nil {
		return err
	}
	value := referenceConfig(cfg)
	return c.Show(Result{
		Text:  func(b *bytes.Buffer) { _ = writeJSON(b, value, "") }, // into memory
		JSON:  value,
		Table: func() (*table.Table, error) { return configTable(cfg), nil },
	})
}

// configOf reads the configuration, or only the named file.
func (c *Call) configOf(path string) (*config.Config, error) {
	if path == "" {
		return c.Config()
	}
	cfg, err := config.LoadFile(c.env.Config, path)
	if err != nil {
		return nil, err
	}
	for _, w := range cfg.Warnings {
		c.session.warn(w.String())
	}
	return cfg, nil
}

// configJSON is the configuration in the old command's form. PullOptions is
// always there.
type configJSON struct {
	RunRoot         string            `json:"runroot,omitempty"`
	GraphRoot       string            `json:"root,omitempty"`
	ImageStore      string            `json:"imagestore,omitempty"`
	Driver          string            `json:"driver,omitempty"`
	DriverPriority  []string          `json:"driver-priority,omitempty"`
	DriverOptions   []string          `json:"driver-options,omitempty"`
	AutoUser        string            `json:"root_auto_ns_user,omitempty"`
	AutoMin         uint32            `json:"auto_userns_min_size,omitempty"`
	AutoMax         uint32            `json:"auto_userns_max_size,omitempty"`
	PullOptions     map[string]string `json:"PullOptions"`
	DisableVolatile bool              `json:"disable-volatile,omitempty"`
	Transient       bool              `json:"transient_store,omitempty"`
}

func referenceConfig(cfg *config.Config) configJSON {
	user, least, most := cfg.AutoUserns()
	return configJSON{
		RunRoot: cfg.RunRoot(), GraphRoot: cfg.GraphRoot(), ImageStore: cfg.ImageStore(),
		Driver: cfg.Driver(), DriverPriority: cfg.DriverPriority(), DriverOptions: cfg.DriverOptions(),
		AutoUser: user, AutoMin: least, AutoMax: most,
		PullOptions: cfg.PullOptions(), DisableVolatile: cfg.DisableVolatile(), Transient: cfg.TransientStore(),
	}
}

func configTable(cfg *config.Config) *table.Table {
	t := table.New("KEY", "VALUE", "FROM")
	for _, s := range cfg.Settings() {
		if text := settingText(s.Value); text != "" {
			t.Row(s.Key, text, s.Origin.String())
		}
	}
	return t
}

// settingText writes a value the way storage.conf does; "" when nothing is set.
func settingText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return strings.Join(v, " ")
	case map[string]string:
		if len(v) == 0 {
			return ""
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// explained is one setting with its history, in JSON.
type explained struct {
	Key      string       `json:"key"`
	Value    any          `json:"value"`
	From     string       `json:"from"`
	Overrode []overridden `json:"overrode,omitempty"`
	Note     string       `json:"note,omitempty"`
}

type overridden struct {
	Value any    `json:"value"`
	From  string `json:"from"`
}

func explainConfig(cfg *config.Config) Result {
	list := []explained{}
	for _, s := range cfg.Settings() {
		e := explained{Key: s.Key, Value: s.Value, From: s.Origin.String(), Note: cfg.Note(s.Key)}
		for _, o := range s.Overrode {
			e.Overrode = append(e.Overrode, overridden{o.Value, o.Origin.String()})
		}
		list = append(list, e)
	}
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, file := range cfg.Files {
				fmt.Fprintf(b, "read %s\n", file)
			}
			for _, e := range list {
				writeExplained(b, e)
			}
			for _, warning := range cfg.Warnings {
				fmt.Fprintf(b, "unknown: %s\n", warning)
			}
			for _, table := range cfg.Ignored {
				fmt.Fprintf(b, "without effect: %s\n", ignoredText(table))
			}
		},
		JSON: explanation{Files: never(cfg.Files), Settings: list, Unknown: warningTexts(cfg), Ignored: ignoredTexts(cfg)},
	}
}

// explanation is everything about the configuration, in JSON.
type explanation struct {
	Files    []string    `json:"files"`
	Settings []explained `json:"settings"`
	Unknown  []string    `json:"unknown"`
	Ignored  []string    `json:"ignored,omitempty"`
}

func warningTexts(cfg *config.Config) []string {
	texts := []string{}
	for _, w := range cfg.Warnings {
		texts = append(texts, w.String())
	}
	return texts
}

func ignoredTexts(cfg *config.Config) (texts []string) {
	for _, table := range cfg.Ignored {
		texts = append(texts, ignoredText(table))
	}
	return texts
}

// ignoredText tells of a table of a driver that is no more.
func ignoredText(w config.Warning) string {
	return fmt.Sprintf("%s:%d: [%s] is for a driver that no engine has any more", w.File, w.Line, w.Key)
}

func writeExplained(b *bytes.Buffer, e explained) {
	fmt.Fprintf(b, "%s = %s  (%s)\n", e.Key, quoteWord(settingText(e.Value)), e.From)
	for _, o := range e.Overrode {
		fmt.Fprintf(b, "    instead of %s  (%s)\n", quoteWord(settingText(o.Value)), o.From)
	}
	if e.Note != "" {
		fmt.Fprintf(b, "    note: %s\n", e.Note)
	}
}
