"""`longform report`: one HTML page of a feature bank, readable without a server or a network."""
