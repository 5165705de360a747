"""What projects do with questions of workflows to people.

answering   give an answer, and find what is to be answered
forms       what a question's form means to Django
"""
