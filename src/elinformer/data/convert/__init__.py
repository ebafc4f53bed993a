"""Published files, in the form their authors chose, to panels."""
