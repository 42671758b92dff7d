"""Pre-trains a backbone on public images: images, teacher, student, loop."""
