"""What a rule does, keeps and costs."""
