package archive

// translate turns a capability into one that counts where the tree's owners are
// mapped. Packing the tree turns it back.
func (s *attrSetter) translate(name, value string) string {
	if name != xattrCapability {
		return value
	}
	return s.opts.Mapping.CapabilityToHost(value)
}
