"""What the tests share: servers as processes, HTTP in wire bytes, filesystems that hang, a browser."""
