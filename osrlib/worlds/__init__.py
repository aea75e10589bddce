"""Where the images come from: a catalogue, a cache, what is fetched and what is made."""
