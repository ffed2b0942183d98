package strata

import "context"

// ImageFile returns a file in the image's directory of the engine's own files (ImageDir);
// name is a path inside it. An *UnknownError if there is no such image, fs.ErrNotExist if
// there is no such file, errdefs.ErrLimit above 64 MiB.
func (s *Store) ImageFile(ctx context.Context, nameOrID, name string) ([]byte, error) {
	dir, err := s.ImageDir(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return readInside(dir, name)
}

// SetImageFile replaces such a file, making directories on the way. Readers see the old
// content or the new one.
func (s *Store) SetImageFile(ctx context.Context, nameOrID, name string, data []byte) error {
	dir, err := s.ImageDir(ctx, nameOrID)
	if err != nil {
		return err
	}
	return writeInside(dir, name, data, true)
}

// ImageRunFile is ImageFile in the directory that goes away with a reboot (ImageRunDir).
func (s *Store) ImageRunFile(ctx context.Context, nameOrID, name string) ([]byte, error) {
	dir, err := s.ImageRunDir(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return readInside(dir, name)
}

// SetImageRunFile is SetImageFile in the directory that goes away with a reboot; nothing is
// flushed.
func (s *Store) SetImageRunFile(ctx context.Context, nameOrID, name string, data []byte) error {
	dir, err := s.ImageRunDir(ctx, nameOrID)
	if err != nil {
		return err
	}
	return writeInside(dir, name, data, false)
}
