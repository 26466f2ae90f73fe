"""What is shown, apart from how it is drawn: the pictures and the page draw the same."""
