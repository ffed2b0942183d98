package rootfd

import (
	"errors"
	"io"
	"io/fs"
)

// endOfNames is nil for the ordinary end of a directory.
func endOfNames(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// inside says that err happened to base, or to something below it.
func inside(base string, err error) error {
	if err == nil {
		return nil
	}
	return pathError("remove", base, err)
}

// pathError names the object of err. An error that names one already, relative
// to name, gets the longer name.
func pathError(op, name string, err error) error {
	//nolint:errorlint // only the outermost one has a path relative to name
	if inner, ok := err.(*fs.PathError); ok {
		return &fs.PathError{Op: inner.Op, Path: name + "/" + inner.Path, Err: inner.Err}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
