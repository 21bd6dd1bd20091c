"""What is measured of speed and memory, and the plain CGCNN that ours is compared with."""
