"""Tables, curves and figures made of finished cells."""
