package strata

import "context"

// ImageDir makes and returns the directory where an engine keeps files of its own
// about an image ("<graph root>/<driver>-images/<ID>/userdata"). It goes with the
// image. An *UnknownError if there is no such image.
func (s *Store) ImageDir(ctx context.Context, nameOrID string) (string, error) {
	return s.imageUserDir(ctx, nameOrID, false)
}

// ImageRunDir is ImageDir in the run root: it also goes with a reboot.
func (s *Store) ImageRunDir(ctx context.Context, nameOrID string) (string, error) {
	return s.imageUserDir(ctx, nameOrID, true)
}

// ContainerDir makes and returns the directory where an engine keeps files of its
// own about a container ("<graph root>/<driver>-containers/<ID>/userdata"). It
// goes with the container. An *UnknownError if there is no such container.
func (s *Store) ContainerDir(ctx context.Context, nameOrID string) (string, error) {
	return s.containerUserDir(ctx, nameOrID, false)
}

// ContainerRunDir is ContainerDir in the run root: it also goes with a reboot.
func (s *Store) ContainerRunDir(ctx context.Context, nameOrID string) (string, error) {
	return s.containerUserDir(ctx, nameOrID, true)
}

// The directories are made with the record's lock held, so that a deletion can
// not leave one behind.

func (s *Store) imageUserDir(ctx context.Context, nameOrID string, run bool) (path string, err error) {
	t, err := s.begin(ctx, want{images: shared})
	if err != nil {
		return "", err
	}
	defer t.end(&err)
	i, err := t.image(nameOrID)
	if err != nil {
		return "", err
	}
	return s.images.UserDir(i.ID, run)
}

func (s *Store) containerUserDir(ctx context.Context, nameOrID string, run bool) (path string, err error) {
	t, err := s.begin(ctx, want{containers: shared})
	if err != nil {
		return "", err
	}
	defer t.end(&err)
	c, err := t.container(nameOrID)
	if err != nil {
		return "", err
	}
	return s.containers.UserDir(c.ID, run)
}
