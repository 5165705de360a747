"""A Django project with nothing in it but what is measured."""
