"""The same training as others would write it; `../README.md` says what is alike."""
