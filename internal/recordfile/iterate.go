package recordfile

import "iter"

// elements yields the texts of the elements of an array that was checked already.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := &scanner{array}
		i, more := s.firstElement(0)
		for more {
			end, err := s.value(i, 1)
			if err != nil || !yield(array[i:end:end]) {
				return
			}
			if i, more, err = s.nextElement(end); err != nil {
				return
			}
		}
	}
}

// keyed yields the texts of the keys (quoted) and values of an object that was
// checked already.
func keyed(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		s := &scanner{object}
		i, more := s.firstMember(0)
		for more {
			key, value, err := s.member(i, 1)
			if err != nil || !yield(object[key.start:key.end:key.end], object[value.start:value.end:value.end]) {
				return
			}
			if i, more, err = s.nextMember(value.end); err != nil {
				return
			}
		}
	}
}
