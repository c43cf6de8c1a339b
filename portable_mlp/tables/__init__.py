"""Tables: read from files, prepared for a network, and streamed where they are larger than memory."""
