"""How does one get several servers that act as one, behind a proxy?"""
