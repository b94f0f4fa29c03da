"""What a user keeps of pictures: names, files with their metadata, and the manifest of a folder. Start with output_plan.py."""
