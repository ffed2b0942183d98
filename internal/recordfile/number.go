package recordfile

// number skips the number that begins at i, if one does.
func (s *scanner) number(i int) (int, error) {
	if s.at(i) == '-' {
		i++
	}
	start := i
	if i = s.digits(i); i == start {
		return i, s.unexpected(i, "a value")
	}
	if s.data[start] == '0' {
		i = start + 1 // no digit may follow
	}
	if s.at(i) == '.' {
		start = i + 1
		if i = s.digits(start); i == start {
			return i, s.unexpected(i, "a digit")
		}
	}
	if s.at(i)|0x20 == 'e' {
		return s.exponent(i + 1)
	}
	return i, nil
}

func (s *scanner) exponent(i int) (int, error) {
	if s.at(i) == '+' || s.at(i) == '-' {
		i++
	}
	start := i
	if i = s.digits(i); i == start {
		return i, s.unexpected(i, "a digit")
	}
	return i, nil
}

func (s *scanner) digits(i int) int {
	for i < len(s.data) && s.data[i]-'0' <= 9 {
		i++
	}
	return i
}
